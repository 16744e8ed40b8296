from __future__ import annotations

import pytest

from world.scripting import MAX_ACTIONS, need_words, parse_script
from world.types import Action, WorldSpec, vocabulary

MOVES = vocabulary()


def test_names_counts_and_sentences_become_actions_in_order() -> None:
    walk = parse_script("forward*2 left /open the door/ object_left*3", MOVES)
    assert [action.text for action in walk] == [
        *["move forward"] * 2,
        "turn left",
        "open the door",
        *["rotate the object left"] * 3,
    ]
    assert walk[3] == Action("open the door")


def test_a_sentence_may_hold_slashes_and_be_repeated() -> None:
    assert parse_script("/go 1/2 metre/*2", MOVES) == [Action("go 1/2 metre")] * 2


def test_a_sentence_of_the_vocabulary_keeps_its_numbers() -> None:
    assert parse_script("/move back/", MOVES) == [MOVES[2]]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("", "the script is empty"),
        ("   ", "the script is empty"),
        ("left forwrd*3", r"'forwrd' \(line 1, column 6\): did you mean 'forward'\?"),
        ("Forward", "did you mean 'forward'"),
        ("xyzzy", "the names are stay, forward, back"),
        ("left forward*", r"'forward\*' \(line 1, column 6\) needs a whole number"),
        ("forward*0", "at least 1 after the star"),
        ("forward*-2", "at least 1 after the star"),
        ("forward*two", "at least 1 after the star"),
        ("forward*2*3", "at least 1 after the star"),
        ("*3", r"cannot read '\*3' \(line 1, column 1\)"),
        ("left /open the door", r"beginning with '/open' \(line 1, column 6\) needs words and a closing slash"),
        ("/ /", "needs words and a closing slash"),
        (f"forward*{MAX_ACTIONS + 1}", "longer than"),
        (f"forward*{'9' * 5000}", "longer than"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(script: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_script(script, MOVES)


def test_a_sentence_that_says_a_move_gets_its_numbers() -> None:
    [action] = parse_script("/turn left 30 degrees/", MOVES)
    assert (action.text, action.yaw) == ("turn left 30 degrees", 30.0)


def test_a_sentence_needs_a_model_that_reads_it() -> None:
    walk = parse_script("left /open the door/", MOVES)
    need_words(WorldSpec("reader", frozenset({"free_text"})), walk)
    need_words(WorldSpec("sim", frozenset()), walk[:1])
    need_words(WorldSpec("sim", frozenset({"pose"})), parse_script("/turn left 30 degrees/", MOVES))
    with pytest.raises(ValueError, match="sim reads no sentences, so 'open the door'"):
        need_words(WorldSpec("sim", frozenset()), walk)
