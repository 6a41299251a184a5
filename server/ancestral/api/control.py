"""Have workers load and unload models: on request, and for jobs that wait for a model."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Literal

from ancestral.api.catalogue import report_of
from ancestral.api.following import everything
from ancestral.api.problems import Problem
from ancestral.broker import BrokerUnavailable, Job
from ancestral.broker.queue import control_queue

if TYPE_CHECKING:
    from ancestral.api.services import Services

logger = logging.getLogger("ancestral.api")
LOOK_SECONDS = 2.0  # between looks whether a worker that is to load or unload still lives


async def obeyed(
    services: Services, worker: str, action: Literal["load", "unload"], label: str
) -> None:
    """Have one worker load or unload a model. Raises a problem where it fails; it may die."""
    request = {"action": action, "model": label}
    queue = control_queue(worker)
    job = Job(id=uuid.uuid4().hex, model=queue, lane="control", request=request, priority=1)
    await services.submit(job)
    task = asyncio.ensure_future(everything(services.queue, job.id))
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            if worker not in [found.worker for found in await services.queue.workers()]:
                await services.queue.cancel(job.id)
                return
        task.result()
    finally:
        task.cancel()


class Summons:
    """Loads of models that jobs wait for, one at a time for each model."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, services: Services, label: str) -> None:
        """See to it that some worker loads the model, if none has."""
        if label in self._tasks:
            return
        report = report_of(await services.queue.workers(), label)
        if report is None or report.state not in ("on_demand", "loading"):
            return
        task = asyncio.get_running_loop().create_task(self._see_to(services, label))
        self._tasks[label] = task
        task.add_done_callback(lambda _: self._tasks.pop(label, None))

    async def close(self) -> None:
        """Give up what is being waited for; workers go on loading."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _see_to(self, services: Services, label: str) -> None:
        try:
            while await self._once(services, label):
                pass  # the worker died; another is asked
        except Problem as problem:
            why = {"status": 503, "title": problem.title, "detail": problem.detail}
            await services.queue.refuse(label, why)
        except BrokerUnavailable as error:
            logger.warning("%s waits to be loaded: %s", label, error)

    async def _once(self, services: Services, label: str) -> bool:
        """Ask the worker with the fewest models; whether there was one to ask."""
        workers = await services.queue.workers()
        report = report_of(workers, label)
        if report is None or report.state not in ("on_demand", "loading"):
            return False
        able = [w for w in workers if label in w.models and w.models[label].state == report.state]
        held = [sum(model.state == "ready" for model in w.models.values()) for w in able]
        worker = able[held.index(min(held))].worker
        await obeyed(services, worker, "load", label)
        return True
