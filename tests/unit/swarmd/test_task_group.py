"""A group of tasks that is cancelled while one of them fails."""

import asyncio

import pytest

from swarmd.task_group import TaskGroup

DEADLINE = 5


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("is_busy", [True, False])
async def test_a_loop_that_tries_again_ends_though_it_is_cancelled_as_its_task_fails(steps, is_busy):
    async def fail_when_told():
        await failing.wait()
        raise OSError

    async def try_again():
        for _ in range(100):  # not for ever: a group that loses the cancellation is to fail here, not to hang
            try:
                async with TaskGroup() as group:
                    group.create_task(fail_when_told())
                    if is_busy:
                        await asyncio.Event().wait()
            except* OSError:
                pass
            await asyncio.sleep(0)

    failing = asyncio.Event()
    loop = asyncio.create_task(try_again())
    await asyncio.sleep(0)
    failing.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    loop.cancel()
    await asyncio.wait([loop], timeout=DEADLINE)
    assert loop.cancelled()


async def fail():
    raise OSError


async def sleep_beside_a_failure():
    async with TaskGroup() as group:
        group.create_task(fail())
        await asyncio.sleep(DEADLINE)


async def fail_within_and_without():
    async with TaskGroup() as group:
        group.create_task(fail())
        await sleep_beside_a_failure()


async def wait_for_a_failure():
    async with TaskGroup() as group:
        group.create_task(fail())
        group.create_task(asyncio.sleep(DEADLINE))


@pytest.mark.parametrize("work", [sleep_beside_a_failure, wait_for_a_failure, fail_within_and_without])
async def test_a_failure_alone_is_raised_and_cancels_nobody(work):
    with pytest.raises(ExceptionGroup) as raised:
        await work()
    assert raised.group_contains(OSError)
    await asyncio.sleep(0)
    assert not asyncio.current_task().cancelling()
