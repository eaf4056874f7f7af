from rest_framework import generics, permissions, serializers

from .models import VpnClient


class VpnClientSerializer(serializers.ModelSerializer):
    class Meta:
        model = VpnClient
        fields = ("id", "vpn", "public_key", "network")


class VpnClientCreate(generics.CreateAPIView):
    permission_classes = [permissions.IsAdminUser]
    serializer_class = VpnClientSerializer
    queryset = VpnClient.objects.all()
