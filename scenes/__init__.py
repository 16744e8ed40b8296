"""Where worlds begin, and what is true in them."""
