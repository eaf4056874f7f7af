from django.apps import AppConfig
from django.db.models.signals import post_save


class VpnConfig(AppConfig):
    name = "vpn"

    def ready(self):
        from .models import VpnClient

        post_save.connect(VpnClient.saved, sender=VpnClient, dispatch_uid="vpn_client.saved")
