"""The callers of a life: threads that submit, cancel, retry and discard jobs over HTTP, as careful
clients do.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

# Seconds until a caller gives an answer up, and sends the same request with the same key again.
ANSWER_TIMEOUT_SECONDS = 8.0


@dataclass
class Accepted:
    """A job that got its 202, and what its caller knows.

    Args:
        params: what was sent.
        asked: whether a DELETE was answered by a job that had not ended before.
        retries: how often a retry by hand was asked for. One whose answer was lost counts, too.
        discarded: whether a discard was asked for.
    """

    kind: str
    params: dict[str, Any]
    asked: bool = False
    retries: int = 0
    discarded: bool = False


@dataclass
class Callers:
    """The account of what was accepted.

    Args:
        folder: where executions are noted.
        ports: of the web processes.
        seed: for the dice of each caller.
        pause: seconds between two requests of a caller, at least and at most.
    """

    folder: Path
    ports: list[int]
    token: str
    seed: int
    pause: tuple[float, float]
    accepted: dict[UUID, Accepted] = field(default_factory=dict)
    refused: int = 0
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(2)
        ]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask for no more; wait for the last answers."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _call(self, number: int) -> None:
        dice = random.Random(f"{self.seed} {number}")
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(
            headers=headers, timeout=ANSWER_TIMEOUT_SECONDS, trust_env=False
        ) as client:
            while not self._stopping.wait(dice.uniform(*self.pause)):
                what = dice.random() if self.accepted else 1.0
                if what < 0.15:
                    self._cancel(client, dice)
                elif what < 0.3:
                    self._by_hand(client, dice)
                else:
                    self._submit(client, dice)

    def _submit(self, client: httpx.Client, dice: random.Random) -> None:
        name = UUID(int=dice.getrandbits(128))
        if dice.random() < 0.2:
            kind, parts = "batch", dice.randint(1, 5)
            body = {"parts": [self._chore(dice, f"{name}-{n}") for n in range(parts)]}
        else:
            kind = dice.choice(["chore", "limited", "limited", "chain"])
            body = self._chore(dice, str(name))

        path = f"/api/lab/life/{kind}"
        answer = self._ask(client, dice, "POST", path, json=body, key=str(name))
        if answer is not None:
            self.accepted.setdefault(UUID(answer["id"]), Accepted(kind, body))

    def _chore(self, dice: random.Random, name: str) -> dict[str, Any]:
        return {
            "log": str(self.folder / name),
            # Most are short; a few outlive a lease, and a worker's grace.
            "units": dice.choice([1, 2, 5, 10, 30, 200 if dice.random() < 0.3 else 50]),
            "stumbles": dice.choice([0, 0, 0, 1]),
            "broken": dice.random() < 0.05,
            "silent": dice.random() < 0.3,
        }

    def _cancel(self, client: httpx.Client, dice: random.Random) -> None:
        job_id = dice.choice(list(self.accepted)[-20:])
        answer = self._ask(client, dice, "DELETE", f"/api/jobs/{job_id}")
        if answer and answer["status"] in ("queued", "running", "cancelled"):
            self.accepted[job_id].asked = True

    def _by_hand(self, client: httpx.Client, dice: random.Random) -> None:
        """Retry a job, or discard it. Most have not failed, or not ended: 409."""
        job_id, action = dice.choice(list(self.accepted)[-20:]), "retry"
        if dice.random() < 0.2:
            self.accepted[job_id].discarded, action = True, "discard"
        else:
            self.accepted[job_id].retries += 1
        self._ask(client, dice, "POST", f"/api/jobs/{job_id}/{action}", others=(204, 409))

    def _gone(self, path: str) -> int:
        """404, where a discard was asked for; else a status that never comes."""
        discarded = (job_id for job_id, each in self.accepted.items() if each.discarded)
        return 404 if any(str(job_id) in path for job_id in discarded) else 0

    def _ask(
        self, client: httpx.Client, dice: random.Random, method: str, path: str, **request: Any
    ) -> Any:
        """The JSON of a 202. None where the service refused, or the caller gave up.

        Args:
            others: other statuses that are right, as a keyword.
        """
        key, others = request.pop("key", None), request.pop("others", ())
        headers = {"Idempotency-Key": key} if key else {}
        for _ in range(20):
            url = f"http://127.0.0.1:{dice.choice(self.ports)}{path}"
            try:
                answer = client.request(method, url, headers=headers, **request)
            except httpx.HTTPError:
                self.unanswered += 1
            else:
                if answer.status_code == 202:
                    return answer.json()
                if answer.status_code in (*others, self._gone(path)):
                    return None
                self.refused += 1
                if answer.status_code not in (429, 502, 503, 504):
                    self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                    return None
            if self._stopping.is_set():
                return None
            time.sleep(dice.uniform(0.1, 0.5))
        return None
