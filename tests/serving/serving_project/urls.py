"""Where the test project's views live: under /api/ the API chain, elsewhere Django's full stack."""

from django.contrib import admin
from django.urls import path

from serving_project import stream_views, views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("metrics", views.metrics),
    path("metricsfoo", views.ping),
    path("health/live", views.ping),
    path("health/ready", views.ready),
    # A probe: it is answered while everything else is shed.
    path("health/go", views.go),
    path("session", views.session),
    path("api/items/<int:number>", views.item),
]
EVERYWHERE = (
    *(
        views.ping,
        views.echo,
        views.parsed,
        views.large,
        views.longest_turn,
        views.facts,
        views.garbage,
        views.wait,
        views.fan_out,
        views.go,
        views.fail,
        views.upload,
    ),
    *(
        stream_views.stream,
        stream_views.export,
        stream_views.counted_pieces,
        stream_views.with_status,
        stream_views.stored,
        stream_views.large_file,
        stream_views.growing_file,
        stream_views.part_of_file,
        stream_views.hanging_file,
        stream_views.breaks_off,
        stream_views.peeked,
        views.embedded,
        views.nothing,
        views.closing,
        views.remembers,
    ),
    *(
        views.in_thread,
        views.in_thread_async,
        views.let_go,
        views.slow_query,
        views.transactions,
        views.left_open,
        views.nested,
        views.held,
    ),
    *(views.beside, views.outlives, views.awaits_cancelled, views.cleans_up),
)
for prefix in ("", "api/"):
    urlpatterns += [path(prefix + view.__name__, view) for view in EVERYWHERE]

handler500 = views.server_error
