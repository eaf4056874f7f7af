from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from .integrations import integration_of
from .models import Identity


class IdentifySerializer(serializers.ModelSerializer):
    class Meta:
        model = Identity
        fields = ("environment_id", "identifier", "traits")


class IdentifyView(GenericAPIView):
    serializer_class = IdentifySerializer

    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        identity = serializer.save()
        integration = integration_of(identity.environment_id)
        if integration is not None:
            integration.identify_in_background(
                {"user_id": identity.identifier, "traits": identity.traits}
            )
        return Response({"identifier": identity.identifier})
