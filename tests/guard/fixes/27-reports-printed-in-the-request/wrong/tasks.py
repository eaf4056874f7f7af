from celery import shared_task

from .models import Part, ReportOutput, ReportTemplate


@shared_task(time_limit=1800)
def print_reports(template_id: int, item_ids: list[int], output_id: int) -> None:
    template = ReportTemplate.objects.get(pk=template_id)
    output = ReportOutput.objects.get(pk=output_id)
    template.print(Part.objects.filter(pk__in=item_ids), output)
