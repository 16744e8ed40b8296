"""BAGEL as clear code.

What it is      config, transformer (Mixture-of-Transformers), vit, vae, embed, model
What it reads   tokenizer, transforms, context (keys and values as values), prefill
What it makes   sampler (pictures), write (words), judge (yes or no), generate (conversations)
Checkpoints     weights, inspection
Training        packing (the published layout and losses), train (our own recipe)
Parity          bundle, cases, train_cases, verify
"""
