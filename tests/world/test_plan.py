"""Scripts with loops, forks, waits and checkpoints become a tree whose equal depths are one batch."""

from __future__ import annotations

import pytest

from world.plan import Plan, Step
from world.scripting import MAX_ACTIONS, parse_plan, parse_script
from world.types import Pose, vocabulary

MOVES = vocabulary()


def told(script: str) -> list[tuple[int, str]]:
    return [(step.parent, step.action.name if step.action else "wait") for step in parse_plan(script, MOVES).steps[1:]]


def test_a_loop_repeats_its_steps_and_a_wait_asks_nothing() -> None:
    plan = parse_plan("(forward left wait)*2", MOVES)
    names = [step.action.name if step.action else "wait" for step in plan.steps[1:]]
    assert names == ["forward", "left", "wait"] * 2
    assert [list(level) for level in plan.levels()] == [[1], [2], [4], [5]]
    assert plan.picture(6) == 5
    assert plan.line(plan.end) == list(range(7))


def test_a_fork_leaves_the_line_and_the_line_goes_on_from_the_fork() -> None:
    assert told("forward fork left*2 return right") == [(0, "forward"), (1, "left"), (2, "left"), (1, "right")]
    plan = parse_plan("forward fork left*2 return right", MOVES)
    assert plan.end == 4
    assert [list(level) for level in plan.levels()] == [[1], [2, 4], [3]]
    assert plan.branches() == [[0, 1, 4], [2, 3]]


def test_forks_nest_and_begin_at_checkpoints() -> None:
    script = "forward @door left fork@door right fork up return down return fork@start back return stay"
    assert told(script) == [
        (0, "forward"),
        (1, "left"),
        (1, "right"),
        (3, "up"),
        (3, "down"),
        (0, "back"),
        (2, "stay"),
    ]


def test_a_checkpoint_in_a_loop_is_numbered() -> None:
    plan = parse_plan("@here (left*2 @view)*3", MOVES)
    assert plan.checkpoints == {"here": 0, "view1": 2, "view2": 4, "view3": 6}
    assert plan.names()[4] == "view2"


def test_counts_may_be_metres_and_degrees() -> None:
    assert told("forward*0.9m left*30deg") == [(0, "forward"), (1, "forward"), (2, "forward"), (3, "left"), (4, "left")]
    coarse = vocabulary(step=0.5, turn=90.0)
    assert len(parse_plan("forward*1m left*360deg", coarse).steps) == 7


def test_a_plan_knows_where_its_steps_are() -> None:
    poses = parse_plan("forward*0.6m left*90deg wait forward", MOVES).poses(Pose(x=1.0))
    assert (poses[2].x, poses[9].yaw) == pytest.approx((1.6, 90.0))
    assert (poses[10].x, poses[10].y) == pytest.approx((1.6, 0.3))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("left\n  forwrd", r"'forwrd' \(line 2, column 3\): did you mean 'forward'"),
        ("frok left return", "did you mean 'fork'"),
        ("left\nfork up", r"'fork' \(line 2, column 1\) is still open where the script ends: close it with 'return'"),
        ("(left", r"'\(' \(line 1, column 1\) is still open where the script ends"),
        ("(left return)", r"is still open where 'return' \(line 1, column 7\) comes"),
        ("left return", r"'return' \(line 1, column 6\): there is no fork to return from"),
        ("left)*2", r"'\)\*2' \(line 1, column 5\): there is no loop to close"),
        ("()*4", "the loop has no step"),
        ("(left)*x", "needs a whole number"),
        ("fork*2 left return", "a fork is not counted"),
        ("fork left return*2", "a return is not counted"),
        ("left @door fork@dor up return", r"no checkpoint 'dor' before .*column 12\): did you mean 'door'"),
        ("fork@later up return @later", "no checkpoint 'later' before"),
        ("left @a up @a", "there is a checkpoint 'a' already"),
        ("@start left", "there is a checkpoint 'start' already"),
        ("left @1", "needs a name of letters and digits"),
        ("forward*1m", "goes by 0.3m, so write 0.9m or 1.2m"),
        ("left*1m", "left does not move by metres"),
        ("forward*90deg", "forward does not move by degrees"),
        ("left*0deg", "so write 15deg"),
        ("(" * 60 + "left" + ")" * 60, "more than 50 deep"),
        ("((left*1000)*1000)*1000", f"longer than {MAX_ACTIONS} actions"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place_and_a_cure(script: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_plan(script, MOVES)


def test_a_script_may_begin_within_a_file() -> None:
    with pytest.raises(ValueError, match="line 7, column 12"):
        parse_plan("lft", MOVES, (7, 12))
    with pytest.raises(ValueError, match="line 8, column 2"):
        parse_plan("left\n lft", MOVES, (7, 12))


def test_where_only_a_line_makes_sense_forks_and_waits_are_refused() -> None:
    assert len(parse_script("(left @view)*3", MOVES)) == 3
    for script in ("left fork up return", "left wait", "fork left return"):
        with pytest.raises(ValueError, match="waits or forks, but here every step is a move"):
            parse_script(script, MOVES)


def test_a_tree_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="step 1 follows step 1"):
        Plan((Step(0, None), Step(1, MOVES[0])), 1)
    with pytest.raises(ValueError, match="door is step 4, but the last step is 1"):
        Plan((Step(0, None), Step(0, MOVES[0])), 1, {"door": 4})
    with pytest.raises(ValueError, match="begins with its start"):
        Plan((), 0)
