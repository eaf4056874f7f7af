from dataclasses import dataclass

from .embeddings import aget_embedder
from .models import Corpus, Document


@dataclass
class AgentConfig:
    model: str = "gpt-4o-mini"
    system_prompt: str | None = None
    embedder_path: str | None = None


@dataclass
class DocumentAgent:
    document: Document
    corpus: Corpus
    config: AgentConfig


class AgentFactory:
    @classmethod
    async def create(
        cls, document: Document | int, corpus: Corpus | int, config: AgentConfig | None = None
    ) -> DocumentAgent:
        config = config or AgentConfig()
        if not isinstance(document, Document):
            document = await Document.objects.aget(pk=document)
        if not isinstance(corpus, Corpus):
            corpus = await Corpus.objects.aget(pk=corpus)
        if config.embedder_path is None:
            _, config.embedder_path = await aget_embedder(corpus.pk)
        if config.system_prompt is None:
            config.system_prompt = f"You answer questions about {document.title}."
        return DocumentAgent(document, corpus, config)
