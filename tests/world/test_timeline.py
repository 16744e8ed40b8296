from __future__ import annotations

import pytest

from world.timeline import Timeline


def walked(num: int) -> Timeline:
    timeline = Timeline().begun()
    for _ in range(num):
        timeline = timeline.stepped()
    return timeline


def test_a_walk_is_one_line() -> None:
    timeline = walked(3)
    assert timeline.path() == timeline.line() == (0, 1, 2, 3)
    assert timeline.branches() == []
    assert timeline.depths() == [0, 1, 2, 3]


def test_undo_keeps_the_way_that_redo_goes() -> None:
    timeline = walked(3).undone().undone()
    assert (timeline.here, timeline.path(), timeline.line()) == (1, (0, 1), (0, 1, 2, 3))
    assert timeline.redone().redone().redone().here == 3


def test_undo_stops_at_the_beginning() -> None:
    beginning = walked(0)
    assert beginning.undone() is beginning
    assert Timeline().undone().redone() == Timeline()


def test_walking_from_the_past_forks_and_loses_nothing() -> None:
    timeline = walked(3).undone().undone().stepped()
    assert timeline.line() == (0, 1, 4)
    assert timeline.branches() == [(2, 3)]
    assert timeline.children(1) == (2, 4)
    back = timeline.at(2)
    assert (back.line(), back.branches()) == ((0, 1, 2, 3), [(4,)])
    assert back.undone().redone().here == 2  # the way that was left, not the newest


def test_a_branch_of_a_branch_is_a_branch() -> None:
    timeline = walked(2).at(0).stepped().stepped().at(3).stepped().at(2)
    assert timeline.line() == (0, 1, 2)
    assert timeline.branches() == [(3, 5), (4,)]
    nodes = {*timeline.line(), *(node for branch in timeline.branches() for node in branch)}
    assert nodes == set(range(len(timeline)))


def test_peers_are_as_far_on_other_branches() -> None:
    timeline = walked(3).at(1).stepped().at(1).stepped()
    assert timeline.peers() == (4, 2)
    assert walked(3).peers() == Timeline().peers() == ()


def test_a_second_beginning_stands_beside_the_first() -> None:
    timeline = walked(2).begun().stepped()
    assert timeline.line() == (3, 4)
    assert timeline.branches() == [(0, 1, 2)]
    assert timeline.depths()[3:] == [0, 1]


def test_old_timelines_stay_as_they_were() -> None:
    old = walked(2)
    new = old.undone().stepped().bookmarked()
    assert old == walked(2)
    assert new != old


def test_bookmarks_are_set_left_out_and_gone_through() -> None:
    timeline = walked(4).bookmarked().at(1).bookmarked().at(2)
    assert timeline.bookmarks == {1, 4}
    assert timeline.at_next_bookmark().here == 4
    assert timeline.at_next_bookmark().at_next_bookmark().here == 1
    assert timeline.at(1).bookmarked().bookmarks == {4}
    assert walked(1).at_next_bookmark() == walked(1)
    assert Timeline().bookmarked() == Timeline()


@pytest.mark.parametrize("node", [-1, 3])
def test_a_node_that_is_not_there_is_refused(node: int) -> None:
    with pytest.raises(ValueError, match=f"node {node} is not in this timeline, which has 3"):
        walked(2).at(node)


def test_a_step_needs_a_beginning() -> None:
    with pytest.raises(ValueError, match="needs a beginning"):
        Timeline().stepped()


def test_two_thousand_nodes_are_a_tree_like_any_other() -> None:
    timeline = walked(1000).at(500)
    for _ in range(1000):
        timeline = timeline.stepped()
    assert len(timeline.stepped().undone().at(1000).line()) == 1001
    assert [len(branch) for branch in timeline.branches()] == [500]
