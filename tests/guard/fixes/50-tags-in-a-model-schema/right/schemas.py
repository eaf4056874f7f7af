from ninja import ModelSchema

from .models import Doc, Tag


class TagOut(ModelSchema):
    class Meta:
        model = Tag
        fields = ["id", "text"]


class DocOut(ModelSchema):
    tags: list[TagOut]

    class Meta:
        model = Doc
        fields = ["id", "title", "content"]
