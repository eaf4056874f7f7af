import hashlib
import ipaddress

from django.core.cache import cache
from django.db import models, transaction


class Vpn(models.Model):
    name = models.CharField(max_length=64, unique=True)
    endpoint = models.URLField(blank=True)

    @property
    def _cache_key(self) -> str:
        return f"vpn-{self.pk}-peers"

    def _peer(self, client: "VpnClient") -> dict:
        network = ipaddress.ip_network(client.network)
        allowed = [str(subnet) for subnet in network.subnets(new_prefix=network.prefixlen + 4)]
        digest = hashlib.sha256(client.public_key.encode()).hexdigest()
        return {"public_key": client.public_key, "digest": digest, "allowed_ips": allowed}

    def get_peers(self) -> list[dict]:
        peers = cache.get(self._cache_key)
        if peers is None:
            peers = [self._peer(client) for client in self.clients.order_by("pk").iterator()]
            cache.set(self._cache_key, peers, timeout=None)
        return peers

    def invalidate_peers(self, update: bool = False) -> None:
        cache.delete(self._cache_key)
        if update:
            self.get_peers()


class VpnClient(models.Model):
    vpn = models.ForeignKey(Vpn, on_delete=models.CASCADE, related_name="clients")
    public_key = models.CharField(max_length=44)
    network = models.CharField(max_length=50, default="10.0.0.0/16")

    @classmethod
    def saved(cls, sender, instance, **kwargs):
        from .tasks import trigger_endpoint

        def after_commit():
            instance.vpn.invalidate_peers()
            if instance.vpn.endpoint:
                trigger_endpoint.delay(instance.vpn_id)

        transaction.on_commit(after_commit)
