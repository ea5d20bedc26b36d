"""The two other ways to run a pair on llama.cpp: llama-cpp-python's handler, and llama-server.

Both get the pictures as data addresses, as their users give them, and sample greedily.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from astrollava.engine import runtime

__all__ = ["HandlerLoop", "LlamaServer", "Said"]

#: Text and number of tokens.
Said = tuple[str, int]


def _messages(png: bytes, prompt: str) -> list[dict[str, Any]]:
    address = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    image = {"type": "image_url", "image_url": {"url": address}}
    return [{"role": "user", "content": [image, {"type": "text", "text": prompt}]}]


def _said(answer: dict[str, Any]) -> Said:
    text = answer["choices"][0]["message"]["content"]
    return text.strip(), answer["usage"]["completion_tokens"]


class HandlerLoop:
    """One image after the other through `MTMDChatHandler`, greedily."""

    def __init__(self, text: Path, mmproj: Path, *, threads: int, n_ctx: int) -> None:
        runtime.load()  # keeps llama.cpp from dying where AMX breaks it
        from llama_cpp import Llama
        from llama_cpp.llama_chat_format import MTMDChatHandler

        self._model = Llama(
            str(text),
            chat_handler=MTMDChatHandler(str(mmproj), verbose=False, use_gpu=False),
            n_ctx=n_ctx,
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )

    def answer(self, png: bytes, prompt: str, max_tokens: int) -> Said:
        """Ask about one image."""
        return _said(
            self._model.create_chat_completion(
                _messages(png, prompt),
                temperature=0.0,
                repeat_penalty=1.0,
                max_tokens=max_tokens,
            )
        )

    def answer_all(self, pngs: Sequence[bytes], prompt: str, max_tokens: int) -> list[Said]:
        """Ask about each image in turn."""
        return [self.answer(png, prompt, max_tokens) for png in pngs]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._model.close()


class LlamaServer:
    """llama-server on loopback with as many slots as requests are sent at once."""

    def __init__(
        self, binary: Path, text: Path, mmproj: Path, *, slots: int, threads: int, n_ctx: int
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.slots = slots
        words: list[str | Path | int] = [
            binary, "-m", text, "--mmproj", mmproj, "--host", "127.0.0.1", "--port", self.port,
            "-np", slots, "-c", slots * n_ctx, "-t", threads, "-tb", threads,
            "-ngl", 0, "--no-mmproj-offload", "--offline",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._local = threading.local()
        self._wait()

    def processor_seconds(self) -> float:
        """Processor time that the server and the requests sent from here have taken."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system) + time.process_time()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if self._ask("GET", "/health")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        self.close()
        raise SystemExit(f"llama-server did not start (it ended with {self._process.returncode})")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            self._local.connection = connection
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._local.connection = None
            connection.close()
            raise

    def answer(self, png: bytes, prompt: str, max_tokens: int) -> Said:
        """Ask about one image."""
        body = {
            "messages": _messages(png, prompt),
            "temperature": 0.0,
            "top_k": 1,
            "repeat_penalty": 1.0,
            "max_tokens": max_tokens,
        }
        status, answer = self._ask("POST", "/v1/chat/completions", json.dumps(body).encode())
        if status != 200:
            raise SystemExit(f"llama-server answered {status}: {answer.decode()[:400]}")
        return _said(json.loads(answer))

    def answer_all(self, pngs: Sequence[bytes], prompt: str, max_tokens: int) -> list[Said]:
        """Ask about all images, as many at once as there are slots."""
        with ThreadPoolExecutor(self.slots) as pool:
            return list(pool.map(lambda png: self.answer(png, prompt, max_tokens), pngs))

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.kill(self._process.pid, 9)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
