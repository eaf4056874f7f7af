from django import forms

from .models import Court


class SearchForm(forms.Form):
    q = forms.CharField(required=False)
    filed_after = forms.DateField(required=False)
    order_by = forms.ChoiceField(
        required=False, choices=[("score", "Relevance"), ("date", "Newest")]
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.court_fields = []
        for court in Court.objects.filter(in_use=True).only("pk", "short_name"):
            name = f"court_{court.pk}"
            self.fields[name] = forms.BooleanField(
                label=court.short_name, required=False, initial=True
            )
            self.court_fields.append(name)

    def clean_order_by(self):
        return self.cleaned_data["order_by"] or "score"
