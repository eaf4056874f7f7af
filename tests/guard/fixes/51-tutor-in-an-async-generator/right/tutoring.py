"""What the tutor library does: assess first, then answer."""

from dataclasses import dataclass

from openai import OpenAI


@dataclass
class LanguageModel:
    api_key: str
    name: str = "gpt-4o-mini"

    def __post_init__(self):
        self._client = OpenAI(api_key=self.api_key, timeout=60)

    def invoke(self, messages: list[dict]) -> str:
        answer = self._client.chat.completions.create(model=self.name, messages=messages)
        return answer.choices[0].message.content

    def stream(self, messages: list[dict]):
        chunks = self._client.chat.completions.create(
            model=self.name, messages=messages, stream=True
        )
        for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


def assess(model: LanguageModel, problem: str, history: list[dict]) -> str:
    system = {"role": "system", "content": f"Assess the answers given to: {problem}"}
    return model.invoke([system, *history])


def choose_intents(model: LanguageModel, assessment: str) -> list[str]:
    answer = model.invoke([{"role": "user", "content": f"Name the next steps: {assessment}"}])
    return [line.strip() for line in answer.splitlines() if line.strip()]


def message_tutor(model: LanguageModel, problem: str, history: list[dict]):
    assessment = assess(model, problem, history)
    intents = choose_intents(model, assessment)
    steer = {"role": "system", "content": f"{problem}\n{'; '.join(intents)}"}
    return list(model.stream([steer, *history])), intents
