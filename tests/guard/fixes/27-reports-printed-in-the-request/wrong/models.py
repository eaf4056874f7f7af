from django.conf import settings
from django.db import models
from django.template.loader import render_to_string
from weasyprint import HTML


class ReportOutput(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    progress = models.PositiveIntegerField(default=0)
    complete = models.BooleanField(default=False)
    document = models.FileField(upload_to="reports/", null=True)


class Part(models.Model):
    name = models.CharField(max_length=100)
    stock = models.IntegerField(default=0)


class ReportTemplate(models.Model):
    name = models.CharField(max_length=100)
    template = models.CharField(max_length=200, default="report/part.html")

    def get_context(self, item: Part) -> dict:
        return {"item": item, "report": self.name}

    def render(self, item: Part):
        """A WeasyPrint document of this item's pages."""
        return HTML(string=render_to_string(self.template, self.get_context(item))).render()

    def print(self, items, output: ReportOutput) -> ReportOutput:
        from django.core.files.base import ContentFile

        documents = []
        for item in items:
            documents.append(self.render(item))
            output.progress = len(documents)
            output.save(update_fields=["progress"])
        pages = [page for document in documents for page in document.pages]
        data = documents[0].copy(pages).write_pdf()
        output.document.save(f"{self.name}.pdf", ContentFile(data), save=False)
        output.complete = True
        output.save()
        return output
