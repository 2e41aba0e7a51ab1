from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from tl_app.config import Phase
from tl_app.features.table import Rows
from tl_app.training.batches import (
    ALIKE_WINDOW,
    KeptActivations,
    Targets,
    class_weights,
    plan_epoch,
)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(1, 64), st.integers(0, 5), st.integers(0, 5))
def test_every_example_once_in_full_batches(n_examples, batch_size, seed, epoch):
    plan = plan_epoch(n_examples, batch_size, seed=seed, phase=1, epoch=epoch)
    assert plan.rows.shape == plan.real.shape == (plan.n_steps, batch_size)
    assert sorted(plan.rows[plan.real]) == list(range(n_examples))
    again = plan_epoch(n_examples, batch_size, seed=seed, phase=1, epoch=epoch)
    np.testing.assert_array_equal(plan.rows, again.rows)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=300), st.integers(1, 32))
def test_texts_of_like_length_share_a_batch(lengths, batch_size):
    lengths = np.array(lengths)
    numbers: Any = {"seed": 0, "phase": 1, "epoch": 2}
    plan = plan_epoch(len(lengths), batch_size, lengths=lengths, **numbers)
    assert plan.rows.shape == plan.real.shape == (plan.n_steps, batch_size)
    assert sorted(plan.rows[plan.real]) == list(range(len(lengths)))

    def padded(plan) -> int:
        """Of whole batches: those of the other are drawn at random."""
        full = plan.real.all(axis=1)
        return int(lengths[plan.rows[full]].max(axis=1).sum()) if full.any() else 0

    # As good as sorting the texts of the whole batches, but for windows.
    (full,) = np.nonzero(plan.real.all(axis=1))
    if 0 < len(full) <= ALIKE_WINDOW:
        texts = np.sort(lengths[plan.rows[full].ravel()]).reshape(len(full), -1)
        assert padded(plan) == texts.max(axis=1).sum()
    for rows, real in zip(plan.rows, plan.real, strict=True):
        assert set(rows[~real]) <= set(rows[real])


def test_the_batch_that_is_not_full_is_drawn_at_random():
    """Its few texts weigh more than others in that epoch, so they must not be the longest."""
    lengths = np.arange(65)
    alone = set()
    for epoch in range(12):
        plan = plan_epoch(65, 32, seed=0, phase=1, epoch=epoch, lengths=lengths)
        (last,) = (
            rows[real] for rows, real in zip(plan.rows, plan.real, strict=True) if not real.all()
        )
        alone |= set(last.tolist())
    assert len(alone) > 8


def test_long_texts_come_at_any_time_of_an_epoch():
    lengths = np.arange(640)
    firsts = {
        int(lengths[plan_epoch(640, 32, seed=0, phase=1, epoch=e, lengths=lengths).rows[0]].max())
        for e in range(10)
    }
    assert len(firsts) > 3


def test_epochs_and_phases_have_orders_of_their_own():
    orders = {
        tuple(plan_epoch(50, 50, seed=0, phase=phase, epoch=epoch).rows[0])
        for phase in (0, 1)
        for epoch in (0, 1)
    }
    assert len(orders) == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=80))
def test_balanced_weights_equal_scikit_learn(labels):
    labels = np.array(labels)
    weights = class_weights(labels, 5, "balanced")
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(weights[present], expected)
    assert weights[labels].mean() == pytest.approx(1.0)


def test_auto_balances_only_what_is_out_of_balance():
    even = np.array([0] * 10 + [1] * 14)
    uneven = np.array([0] * 10 + [1] * 16)
    np.testing.assert_array_equal(class_weights(even, 2, "auto"), 1.0)
    assert class_weights(uneven, 2, "auto")[0] > 1.0 > class_weights(uneven, 2, "auto")[1]
    np.testing.assert_array_equal(class_weights(uneven, 2, "none"), 1.0)


def rows_of(values: np.ndarray) -> Rows:
    """Rows as a table of one file gives them."""
    n = len(values)
    return Rows((values,), np.zeros(n, np.int32), np.arange(n), values.shape[1:], values.dtype)


def test_views_are_cycled_over_the_epochs():
    activations = np.arange(2 * 3, dtype=np.float16).reshape(2, 3, 1)
    plan = plan_epoch(3, 3, seed=0, phase=0, epoch=0)
    source = KeptActivations([rows_of(view) for view in activations])
    first = next(iter(source.inputs(plan, 0, 0))).numpy()[:, 0]
    second = next(iter(source.inputs(plan, 1, 0))).numpy()[:, 0]
    assert set(first) | set(second) == set(range(6))
    assert set(first) & set(second) == set()


def test_filled_up_examples_weigh_nothing_and_smoothing_keeps_the_sum():
    plan = plan_epoch(5, 4, seed=0, phase=0, epoch=0)
    labels = np.array([0, 1, 2, 0, 1])
    targets = Targets(labels, np.array([1.0, 2.0, 0.5]), Phase(name="p", label_smoothing=0.3), 0)
    _, one_hot, weights = targets.batch(tf.zeros((4, 1)), plan, 0, 1)
    assert (weights > 0).sum() == 1
    np.testing.assert_allclose(one_hot.sum(axis=1), 1.0, rtol=1e-6)
    assert one_hot.max() == pytest.approx(0.8)
    real = labels[plan.rows[1][0]]
    assert weights[0] == pytest.approx([1.0, 2.0, 0.5][real])
