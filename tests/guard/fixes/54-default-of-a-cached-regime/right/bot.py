import discord
from discord.ext import commands

from .cards import describe
from .models import BallInstance, Economy, Regime, economies, regimes


async def load_cache() -> None:
    async for regime in Regime.objects.all():
        regimes[regime.pk] = regime
    async for economy in Economy.objects.all():
        economies[economy.pk] = economy


class Balls(commands.GroupCog, group_name="balls"):
    def __init__(self, bot: commands.Bot):
        self.bot = bot

    async def cog_load(self) -> None:
        await load_cache()

    @discord.app_commands.command()
    async def last(self, interaction: discord.Interaction):
        """Shows the newest ball of the player."""
        await interaction.response.defer(thinking=True)
        owned = BallInstance.objects.filter(owner_id=interaction.user.id)
        related = owned.select_related("ball__regime", "ball__economy")
        newest = await related.order_by("-pk").afirst()
        if newest is None:
            await interaction.followup.send("You have no balls yet.")
            return
        await interaction.followup.send(describe(newest.ball))
