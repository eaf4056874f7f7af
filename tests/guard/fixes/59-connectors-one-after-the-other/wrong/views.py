from django.http import JsonResponse
from django.views import View

from .connectors import search


class Search(View):
    def get(self, request):
        query = request.GET.get("q", "").strip()
        if not query:
            return JsonResponse({"error": "Give a query."}, status=400)
        return JsonResponse({"results": search(query)})
