"""Strange walks: other colours, and the other side, in step with the words."""

import torch

from bagel.train.strange import disguise_, mirror_moves, recolored
from world.phrases import MOVES, PHRASES
from world.types import vocabulary


def test_every_move_has_one_to_the_other_side() -> None:
    mirrors = mirror_moves(tuple(PHRASES.values()))
    assert torch.equal(mirrors[mirrors], torch.arange(len(MOVES)))
    named = {MOVES[i]: MOVES[j] for i, j in enumerate(mirrors.tolist())}
    assert named["strafe_left 2"] == "strafe_right 2"
    assert named["left, forward"] == "right, forward"
    assert named["around"] == "around"
    assert named["forward, up"] == "forward, up"


def test_colours_turn_about_middle_grey() -> None:
    picture = torch.randint(0, 256, (4, 5, 3), dtype=torch.uint8)
    assert torch.equal(recolored(picture, torch.eye(3), torch.zeros(3)), picture)
    assert torch.equal(recolored(picture, -torch.eye(3), torch.zeros(3)), 255 - picture)
    assert (recolored(picture, torch.eye(3), torch.ones(3)) == 255).all()


def test_a_share_of_the_walks_is_strange_and_half_of_those_are_mirrored() -> None:
    torch.manual_seed(0)
    mirrors = mirror_moves([[action.text] for action in vocabulary()])
    pictures = torch.randint(0, 256, (40, 3, 4, 6, 3), dtype=torch.uint8)
    moves = torch.randint(len(mirrors), (40, 2))
    now, then = pictures.clone(), moves.clone()
    strange = disguise_(now, then, mirrors, 0.5)
    assert 12 < strange.sum() < 28
    assert torch.equal(now[~strange], pictures[~strange])
    assert torch.equal(then[~strange], moves[~strange])
    turned = (then == mirrors[moves]).all(1) & ~(then == moves).all(1)
    assert 4 < turned.sum() < strange.sum()
    assert not turned[~strange].any()
    assert not (now[strange] == pictures[strange]).all((1, 2, 3, 4)).any()
