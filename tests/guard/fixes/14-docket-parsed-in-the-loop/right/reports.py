from lxml import html


class Report:
    """A page of a court's system, as a parser."""

    def __init__(self, court_id: str):
        self.court_id = court_id
        self.tree = None

    def parse(self, text: str) -> None:
        self.tree = html.fromstring(text)

    @property
    def data(self) -> dict:
        raise NotImplementedError


class DocketReport(Report):
    @property
    def data(self) -> dict:
        entries = []
        for row in self.tree.xpath("//table[@id='entries']//tr"):
            cells = [cell.text_content().strip() for cell in row.xpath("./td")]
            if len(cells) == 3:
                entries.append({"filed": cells[0], "number": cells[1], "text": cells[2]})
        if not entries:
            return {}
        return {"court": self.court_id, "entries": entries}


def parse_docket(court_id: str, text: str) -> dict:
    """Runs in a process of the pool: this module needs no Django."""
    report = DocketReport(court_id)
    report.parse(text)
    return report.data
