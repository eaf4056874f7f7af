from rest_framework import serializers, viewsets

from .models import Device


class DeviceSerializer(serializers.ModelSerializer):
    class Meta:
        model = Device
        fields = ("id", "name", "serial", "comments")


class DeviceViewSet(viewsets.ModelViewSet):
    queryset = Device.objects.order_by("pk")
    serializer_class = DeviceSerializer
