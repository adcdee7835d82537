"""What training code gives as a metric: numbers in whatever a library wraps them in; what is no number is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import fairway as fw
from fairway.errors import DefinitionError
from fairway.step.metricvalues import plain_metrics


class Tensor:
    """As tensors of PyTorch and TensorFlow behave: `shape`, and `item` where there is one."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = numbers

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.numbers),)

    def item(self) -> float:
        if len(self.numbers) != 1:
            raise RuntimeError("a Tensor with several elements cannot be converted to Scalar")
        return self.numbers[0]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (np.float32(0.5), 0.5),
        (np.array(2.5), 2.5),
        (np.array([3]), 3),
        (np.bool_(True), True),
        (Tensor(1.25), 1.25),
        (Decimal("0.5"), 0.5),
        ("text", "text"),
        (None, None),
    ],
)
def test_one_number_is_that_number(value: Any, number: Any) -> None:
    assert plain_metrics({"x": value}) == {"x": number}
    assert type(plain_metrics({"x": value})["x"]) is type(number)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.zeros((4, 2)), "fw.log: 'grads' is a numpy.ndarray of shape (4, 2), not one number"),
        (np.zeros(0), "fw.log: 'grads' is a numpy.ndarray of shape (0,), not one number"),
        (Tensor(1, 2), "Tensor of shape (2,), not one number"),
        ([1.0, 2.0], "fw.log: 'grads' is a list of 2, not one number"),
        ({"a": 1}, "fw.log: 'grads' is a dict of 1, not one number"),
    ],
)
def test_several_numbers_are_refused_by_name(value: Any, says: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        fw.log(loss=0.5, grads=value)
    assert says in refused.value.message
    with pytest.raises(DefinitionError, match="metrics of a checkpoint: 'grads' is"):
        fw.checkpoint.save(0, {}, metrics={"grads": value})
