"""The evaluator gives what the database gives."""


def test_the_evaluator_evaluates(postgres):
    from shop.tasks import run_budget_evaluator

    assert run_budget_evaluator.delay("a").get() == 1
