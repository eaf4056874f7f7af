from django.db import models

regimes: dict[int, "Regime"] = {}
economies: dict[int, "Economy"] = {}


class Regime(models.Model):
    name = models.CharField(max_length=64)
    background = models.CharField(max_length=200)


class Economy(models.Model):
    name = models.CharField(max_length=64)
    icon = models.CharField(max_length=200)


class Ball(models.Model):
    country = models.CharField(max_length=48, unique=True)
    health = models.IntegerField()
    attack = models.IntegerField()
    regime = models.ForeignKey(Regime, on_delete=models.CASCADE)
    economy = models.ForeignKey(Economy, null=True, on_delete=models.SET_NULL)

    @property
    def cached_regime(self) -> Regime:
        return regimes.get(self.regime_id, self.regime)

    @property
    def cached_economy(self) -> Economy | None:
        return economies.get(self.economy_id, self.economy) if self.economy_id else None

    def __str__(self) -> str:
        return self.country


class BallInstance(models.Model):
    ball = models.ForeignKey(Ball, on_delete=models.CASCADE)
    owner_id = models.BigIntegerField()
