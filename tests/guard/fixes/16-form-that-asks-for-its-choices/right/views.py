from asgiref.sync import sync_to_async
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from .forms import SearchForm
from .search import count_hits


def search_page(request) -> HttpResponse:
    return render(request, "search.html", {"form": SearchForm(request.GET or None)})


async def result_count(request, days: int):
    """How many new results a day a saved search would have brought."""
    form = await sync_to_async(SearchForm)(request.GET.copy())
    if not form.is_valid():
        return JsonResponse({"error": "The search is not valid."}, status=400)
    total = await count_hits(form.cleaned_data, days)
    return JsonResponse({"per_day": round(total / max(days, 1), 1)})
