from abc import ABC, abstractmethod

from .problems import problem_of_block, problem_set_of_course


class BaseBot(ABC):
    name = "bot"

    def __init__(self, user_id: str, thread_id: str | None = None):
        self.user_id = user_id
        self.thread_id = thread_id

    @abstractmethod
    def get_completion(self, message: str): ...


class TutorBot(BaseBot):
    name = "tutor"

    def __init__(
        self,
        user_id: str,
        thread_id: str | None = None,
        *,
        block: str | None = None,
        course: str | None = None,
        title: str | None = None,
    ):
        super().__init__(user_id, thread_id)
        self.block, self.course, self.title = block, course, title
        self.problem: str | None = None

    async def load_problem(self) -> None:
        if self.problem is not None:
            return
        if self.block:
            self.problem = await problem_of_block(self.block)
        else:
            self.problem = await problem_set_of_course(self.course, self.title)

    async def get_completion(self, message: str):
        from .tutor import converse

        await self.load_problem()
        async for part in converse(self.problem, message):
            yield part
