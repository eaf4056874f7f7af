from .models import Ball


def describe(ball: Ball) -> str:
    lines = [f"**{ball}**", f"{ball.attack} attack, {ball.health} health"]
    lines.append(f"Regime: {ball.cached_regime.name}")
    if ball.cached_economy:
        lines.append(f"Economy: {ball.cached_economy.name}")
    return "\n".join(lines)
