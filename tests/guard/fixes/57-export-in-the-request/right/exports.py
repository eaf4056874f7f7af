import csv
import io

from .models import Event, Submission


def answers_of(submission: Submission, questions: list) -> list[str]:
    given = {answer.question_id: answer.text for answer in submission.answers.all()}
    return [given.get(question.pk, "") for question in questions]


def export_rows(event: Event) -> list[list[str]]:
    questions = list(event.questions.order_by("position"))
    rows = [["code", "title", "state", *(question.text for question in questions)]]
    submissions = event.submissions.prefetch_related("answers").order_by("code")
    for submission in submissions:
        start = [submission.code, submission.title, submission.state]
        rows.append([*start, *answers_of(submission, questions)])
    return rows


def export_csv(event: Event) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    for row in export_rows(event):
        writer.writerow([str(cell).lstrip("=+-@") for cell in row])
    return out.getvalue()
