"""Words for where one stands: one token each, whose embedding tells what is near."""

import torch

from bagel.pose_words import PARTS, pose_words
from bagel.train.vocabulary import with_pose_words
from bagel.weights import Checkpoint, load, save
from world.types import Pose


def test_a_number_of_a_pose_is_one_token_and_all_other_texts_stay_as_they_were(
    checkpoint: Checkpoint, tmp_path
) -> None:
    taught = with_pose_words(checkpoint)
    assert with_pose_words(taught) is taught
    old, new = checkpoint.tokenizer, taught.tokenizer
    told = pose_words(Pose(1.25, -0.4, 90.0, -10.0, 45.0))
    ids = new.encode(f"gallery {told}: turn left")
    words = new.encode("gallery: turn left")
    assert words == old.encode("gallery: turn left")
    assert len(ids) == len(words) + len(PARTS)
    assert new.decode(ids[-len(old.encode(": turn left")) - len(PARTS) :]) == f"{told}: turn left".replace(" ", "", 4)
    count = sum(len(part.words) for part in PARTS)
    assert len(new) == len(old) + count == len({*new.encode(" ".join(w for p in PARTS for w in p.words))}) + len(old)
    before, after = checkpoint.model.state_dict(), taught.model.state_dict()
    for name, tensor in before.items():
        assert torch.equal(after[name][: len(tensor)], tensor) or name == "transformer.embed.weight"
    used = before["transformer.embed.weight"][: len(old)]
    assert torch.equal(after["transformer.embed.weight"][: len(old)], used)
    save(taught, tmp_path)
    again = load(tmp_path)
    assert again.config == taught.config
    assert again.tokenizer.encode(f"gallery {told}: turn left") == ids


def test_near_numbers_begin_with_near_embeddings(checkpoint: Checkpoint) -> None:
    taught = with_pose_words(checkpoint)
    table, encode = taught.model.transformer.embed.weight, taught.tokenizer.encode

    def alike(one: str, other: str) -> float:
        rows = [table[encode(word)[0]] for word in (one, other)]
        return torch.nn.functional.cosine_similarity(*rows, dim=0).item()

    for here, near, far in (
        ("x+100", "x+102", "x+200"),
        ("yaw359", "yaw000", "yaw180"),
        ("pitch-10", "pitch-08", "pitch+30"),
    ):
        assert alike(here, near) > 0.9
        assert alike(here, near) > alike(here, far) + 0.4
    assert abs(alike("x+100", "y+100")) < 0.5
