from rest_framework import serializers

from .models import ReportOutput, ReportTemplate


class PrintSerializer(serializers.Serializer):
    template = serializers.PrimaryKeyRelatedField(queryset=ReportTemplate.objects.all())
    items = serializers.ListField(child=serializers.IntegerField(), max_length=500)


class ReportOutputSerializer(serializers.ModelSerializer):
    class Meta:
        model = ReportOutput
        fields = ("id", "progress", "complete", "document")
