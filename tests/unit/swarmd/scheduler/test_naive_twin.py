"""The scheduler's heaps and counts come to what counting everything anew for each task comes to."""

from collections import Counter

import naive
import pytest
from naive import Fate
from random_clusters import random_cluster

SEEDS = 400


def fates(cluster, waiting):
    now = {task.id: task for task in cluster.tasks()}
    return {
        task_id: Fate(now[task_id].node_id, tuple(now[task_id].assigned_generic_resources), now[task_id].status.err)
        for task_id in waiting
    }


@pytest.mark.parametrize("seed", range(SEEDS))
def test_tasks_are_placed_as_the_naive_way_would(seed):
    cluster = random_cluster(seed)
    wanted = naive.place(cluster.snapshot, cluster.now)
    cluster.schedule()
    assert fates(cluster, wanted) == wanted


@pytest.mark.parametrize("seed", range(0, SEEDS, 10))
def test_what_was_placed_leaves_nothing_to_place(seed):
    cluster = random_cluster(seed)
    cluster.schedule()
    assert cluster.schedule().decisions == []


def test_the_clusters_of_chance_know_every_reason_and_every_freedom():
    """Else the twins would agree about nothing much."""
    reasons, placed, spread = Counter(), 0, 0
    for seed in range(SEEDS):
        cluster = random_cluster(seed)
        for task_id, fate in naive.place(cluster.snapshot, cluster.now).items():
            placed += bool(fate.node_id)
            placement = cluster.snapshot.tasks[task_id].value.spec.placement
            spread += bool(fate.node_id and placement and placement.preferences)
            reasons.update(reason for reason in naive.ORDER if reason.strip("{} ") in fate.err)
    assert min(placed, spread) > SEEDS
    assert all(reasons[reason] > 10 for reason in naive.ORDER), reasons
