from abc import ABC, abstractmethod

import requests
from django.conf import settings
from django.utils.module_loading import import_string


class BaseStore(ABC):
    def __init__(self, collection_id: str):
        self.collection_id = collection_id

    @abstractmethod
    def parse(self, name: str, content_type: str, content: bytes) -> str: ...

    @abstractmethod
    def store(self, name: str, text: str) -> None: ...

    def parse_and_store(self, name: str, content_type: str, content: bytes) -> str:
        text = self.parse(name, content_type, content)
        self.store(name, text)
        return text


class RemoteStore(BaseStore):
    timeout = 60

    def _post(self, path: str, **kwargs) -> requests.Response:
        answer = requests.post(
            f"{settings.STORE_URL}{path}",
            headers={"Authorization": f"Bearer {settings.STORE_KEY}"},
            timeout=self.timeout,
            **kwargs,
        )
        answer.raise_for_status()
        return answer

    def parse(self, name: str, content_type: str, content: bytes) -> str:
        answer = self._post("/v1/parse", files={"file": (name, content, content_type)})
        return "\n\n".join(page["content"] for page in answer.json()["data"])

    def store(self, name: str, text: str) -> None:
        self._post("/v1/documents", json={"collection": self.collection_id, "text": text})


def get_store(collection_id: str) -> BaseStore:
    return import_string(settings.DOCUMENT_STORE)(collection_id)
