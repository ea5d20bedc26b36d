"""The requests that no sequence works on yet; those who made them take turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from astrollava.engine.requests import Request

__all__ = ["Waiting"]


class Waiting:
    """Requests in the order they came, by client; whoever uses it from several threads locks."""

    def __init__(self) -> None:
        self._queues: OrderedDict[int, deque[Request[Any]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, request: Request[Any]) -> None:
        """Queue a request behind the others of its client."""
        self._queues.setdefault(id(request.client), deque()).append(request)

    def take(self, held_back: Callable[[Request[Any]], bool]) -> Request[Any] | None:
        """Take the first request of the first client for whom it is not better to wait."""
        for client, queue in self._queues.items():
            if not held_back(queue[0]):
                request = queue.popleft()
                # Behind the others: clients take turns.
                del self._queues[client]
                if queue:
                    self._queues[client] = queue
                return request
        return None

    def drop_cancelled(self) -> None:
        """End those that were given up."""
        for client, queue in list(self._queues.items()):
            for request in [request for request in queue if request.cancelled]:
                queue.remove(request)
                request.drop()
            if not queue:
                del self._queues[client]

    def clear(self) -> list[Request[Any]]:
        """Take all."""
        left = [request for queue in self._queues.values() for request in queue]
        self._queues.clear()
        return left
