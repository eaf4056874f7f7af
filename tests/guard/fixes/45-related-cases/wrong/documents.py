from django.conf import settings
from elasticsearch_dsl import Document, Keyword, Text, connections

connections.create_connection(hosts=[settings.SEARCH_URL], timeout=5)


class ClusterDocument(Document):
    case_name = Text()
    court = Keyword()
    cites = Keyword(multi=True)

    class Index:
        name = "clusters"
