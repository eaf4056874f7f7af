from rest_framework import serializers


class TriggerSerializer(serializers.Serializer):
    identifier = serializers.CharField(max_length=100)
    platform = serializers.CharField(max_length=20)
    bot = serializers.IntegerField()
    prompt = serializers.CharField()
