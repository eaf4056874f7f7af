from .models import Docket, Origin


def row(label: str, value) -> dict | None:
    return {"label": label, "value": value} if value else None


def build_docket_rows(docket: Docket) -> list[dict]:
    rows = [
        row("Court", docket.court.short_name),
        row("Nature of suit", docket.nature),
        row("Other dockets", docket.court.dockets.exclude(pk=docket.pk).count()),
    ]
    return [one for one in rows if one]


def build_bankruptcy_rows(info: dict | None) -> list[dict]:
    if not info:
        return []
    rows = [row("Chapter", info.get("chapter")), row("Trustee", info.get("trustee"))]
    return [one for one in rows if one]


def build_origin_rows(docket: Docket, origin: Origin | None) -> list[dict]:
    if origin is None:
        return []
    rows = [
        row("Appealed from", docket.appeal_from and docket.appeal_from.short_name),
        row("Number below", origin.docket_number),
        row("Judge below", origin.assigned_to and origin.assigned_to.name),
        row("Filed below", origin.date_filed),
    ]
    return [one for one in rows if one]
