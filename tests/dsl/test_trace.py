"""Tracing: what each spelling becomes."""

from __future__ import annotations

import pytest

from fairway.errors import DefinitionError
from fairway.spec.graph import Expr, Guard


def node(graph, id):
    return next(n for n in graph.nodes if n.id == id)


def collected(name, output="result", over=()):
    return Expr("collect", args=(Expr("output", name, output),), over=over)


def test_the_issues_own_example(write):
    from fairway.dsl.load import load_pipeline

    path = write(
        """
        from typing import NamedTuple
        import fairway as fw

        @fw.step
        def load(path: fw.File) -> dict: ...

        @fw.step(cpu=1, memory="1Gi", retries=2, timeout="10m")
        def train(data: dict, depth: int = 4) -> fw.Model: ...

        class Report(NamedTuple):
            auc: float
            roc: fw.Figure

        @fw.step
        def evaluate(model: fw.Model, data: dict) -> Report: ...

        class Winner(NamedTuple):
            model: fw.Model
            auc: float

        @fw.step
        def best(models: list[fw.Model], aucs: list[float]) -> Winner: ...

        @fw.step
        def publish(model: fw.Model) -> None: ...

        @fw.pipeline
        def default_risk(path: str, depths: list[int] = [2, 4, 8], floor: float = 0.7):
            \"\"\"Train trees of several depths on a bank's customers and keep the best.\"\"\"
            data = load(path)
            models = train(data, depth=fw.each(depths))     # one task per depth; the list may be known only at run time
            reports = evaluate(models, data)                # a mapped value maps on
            winner = best(models, reports.auc)              # a step that takes a list collects it
            with fw.when(winner.auc > floor):
                publish(winner.model)
            return winner.model
        """
    )
    graph = load_pipeline(str(path)).trace()
    assert [n.id for n in graph.nodes] == ["load", "train", "evaluate", "best", "publish"]
    assert [n.axes for n in graph.nodes] == [(), ("depths",), ("depths",), (), ()]
    assert node(graph, "best").inputs == {"models": collected("train"), "aucs": collected("evaluate", "auc")}
    over_floor = Expr("op", ">", args=(Expr("output", "best", "auc"), Expr("param", "floor")))
    assert node(graph, "publish").guards == (Guard(over_floor),)
    assert graph.outputs == {"model": Expr("output", "best", "model")}
    assert [(p.name, p.type, p.required) for p in graph.params] == [
        ("path", "fairway.File", True),
        ("depths", "list[int]", False),
        ("floor", "float", False),
    ]
    train = graph.steps["train"]
    assert (train.resources.cpu, train.resources.memory_bytes, train.retry.attempts, train.timeout_s) == (1, 2**30, 3, 600)
    assert train.where.endswith(":7") and graph.doc.startswith("Train trees")


def test_outside_a_pipeline_a_step_is_its_function(write):
    import fairway as fw

    @fw.step
    def double(x: int) -> int:
        return 2 * x

    assert double(4) == 8
    assert double.function(x=3) == 6


def test_a_pipeline_is_not_called_like_a_function(trace):
    import fairway as fw

    @fw.pipeline
    def main():
        return 1

    with pytest.raises(DefinitionError) as caught:
        main()
    assert "fw.run(" in caught.value.hint


def test_two_lists_in_one_each_are_zipped(trace):
    graph = trace("""
        @fw.pipeline
        def main(a: list[int], b: list[int]):
            x, y = fw.each(a, b, max_parallel=3, batch=10, on_error="keep")
            return add(x, y)
        """)
    (axis,) = graph.axes.values()
    assert (axis.sources, axis.max_parallel, axis.batch, axis.on_error) == ((Expr("param", "a"), Expr("param", "b")), 3, 10, "keep")
    assert graph.nodes[0].inputs == {"x": Expr("item", axis.id), "y": Expr("item", axis.id, position=1)}
    assert graph.outputs["result"].kind == "collect"


def test_two_each_are_a_product_first_argument_outermost(trace):
    graph = trace("""
        @fw.pipeline
        def main(a: list[int], b: list[int]):
            return total(add(y=fw.each(b), x=fw.each(a)))
        """)
    assert node(graph, "add").axes == ("b", "a")
    assert node(graph, "total").axes == ()


def test_nested_each_lies_on_the_axes_of_its_list(trace):
    graph = trace("""
        @fw.pipeline
        def main(ns: list[int]):
            lists = numbers(fw.each(ns))
            return square(fw.each(lists))
        """)
    assert node(graph, "square").axes == ("ns", "numbers")
    assert graph.axes["numbers"].axes == ("ns",)


def test_one_each_used_twice_is_one_axis(trace):
    graph = trace("""
        @fw.pipeline
        def main(ns: list[int]):
            n = fw.each(ns)
            return add(square(n), n)
        """)
    assert list(graph.axes) == ["ns"] and node(graph, "add").axes == ("ns",)


def test_what_is_already_a_list_maps_on_and_lists_of_lists_keep_the_outer_axis(trace):
    graph = trace("""
        @fw.step
        def sizes(groups: list[list[int]]) -> int: ...

        @fw.pipeline
        def main(ns: list[int]):
            lists = numbers(fw.each(ns))
            t = total(lists)
            one = sizes(lists)
            two = sizes(square(fw.each(lists)))
            u = anything(lists)
        """)
    assert node(graph, "total").axes == ("ns",) and node(graph, "anything").axes == ("ns",)
    assert node(graph, "sizes").inputs["groups"] == collected("numbers")
    inner = collected("square", over=("ns",))
    assert node(graph, "sizes-2").inputs["groups"] == Expr("collect", args=(inner,))


def test_one_input_collects_what_another_maps_over(trace):
    graph = trace("""
        @fw.step
        def rank(x: int, xs: list[int]) -> int: ...

        @fw.pipeline
        def main(ns: list[int]):
            xs = square(fw.each(ns))
            return rank(xs, xs)
        """)
    assert node(graph, "rank").axes == ("ns",)
    assert node(graph, "rank").inputs == {"x": Expr("output", "square", "result"), "xs": collected("square")}


def test_conditions_nest_and_branches_merge(trace):
    graph = trace("""
        @fw.pipeline
        def main(n: int):
            with fw.when((n > 3) & ~(n == 5)):
                a = square(n)
                with fw.when(a > 10):
                    publish(a)
            with fw.otherwise():
                b = add(n)
            return fw.either(a, b)
        """)
    (outer,) = node(graph, "square").guards
    assert outer.expr.name == "and" and outer.expr.args[1].name == "not" and outer.wanted
    assert node(graph, "publish").guards[0] == outer and len(node(graph, "publish").guards) == 2
    assert node(graph, "add").guards == (Guard(outer.expr, False),)
    assert graph.outputs["result"] == Expr("either", args=(Expr("output", "square", "result"), Expr("output", "add", "result")))


def test_a_mapped_condition_maps_what_it_guards(trace):
    graph = trace("""
        @fw.pipeline
        def main(ns: list[int]):
            xs = square(fw.each(ns))
            with fw.when(xs > 3):
                publish(7)
        """)
    assert node(graph, "publish").axes == ("ns",)


def test_inside_a_mapped_condition_a_list_input_is_refused(trace):
    with pytest.raises(DefinitionError, match="takes a list, but here"):
        trace("""
        @fw.pipeline
        def main(ns: list[int]):
            xs = square(fw.each(ns))
            with fw.when(xs > 3):
                total(xs)
        """)


def test_nested_pipelines_are_put_in_with_their_name(trace):
    graph = trace("""
        @fw.pipeline
        def clean(n: int, y: int = 2):
            xs = numbers(n)
            return {"sum": total(square(fw.each(xs))), "y": add(n, y)}

        @fw.pipeline
        def main(ns: list[int]):
            first = clean(fw.each(ns))
            second = clean(4, y=5)
            return pick(first["sum"], [1.0]).auc
        """)
    assert [n.id for n in graph.nodes][:4] == ["clean.numbers", "clean.square", "clean.total", "clean.add"]
    assert node(graph, "clean-2.add").inputs == {"x": Expr("const", value=4), "y": Expr("const", value=5)}
    assert node(graph, "clean.total").axes == ("ns",)  # the hidden axis is not collected
    assert node(graph, "clean.total").inputs["xs"].over == ("ns",)
    assert node(graph, "clean-2.total").group == "clean-2"
    assert node(graph, "pick").inputs["xs"] == collected("clean.total")


def test_a_pipeline_that_calls_itself_is_refused(trace):
    with pytest.raises(DefinitionError, match="without end"):
        trace("""
        @fw.pipeline
        def main(n: int):
            main(n)
        """)


def test_after_orders_steps_that_exchange_nothing(trace):
    graph = trace("""
        @fw.pipeline
        def main():
            a = square(2)
            b = publish(1)
            a.after(b)
            with fw.after(a):
                c = add(1)
        """)
    assert [n.id for n in graph.nodes] == ["publish", "square", "add"]
    assert node(graph, "square").after == ("publish",) and node(graph, "add").after == ("square",)


def test_a_circle_of_after_is_refused_naming_it(trace):
    with pytest.raises(DefinitionError, match=r"in a circle: `square` → `add` → `square`|`add` → `square` → `add`"):
        trace("""
        @fw.pipeline
        def main():
            a = square(2)
            b = add(a)
            a.after(b)
        """)


@pytest.mark.parametrize(
    "annotation, body",
    [
        ("Report", "r.auc"),
        ("Data", "r.auc"),
        ("{'auc': float, 'note': str}", "r['auc']"),
        ("Typed", "r.auc"),
    ],
)
def test_several_outputs(trace, annotation, body):
    graph = trace(f"""
        from dataclasses import dataclass
        from typing import TypedDict

        @dataclass
        class Data:
            auc: float
            note: str

        class Typed(TypedDict):
            auc: float
            note: str

        @fw.step
        def several(x: int) -> {annotation}: ...

        @fw.pipeline
        def main():
            r = several(1)
            return {body}
        """)
    step = graph.steps["several"]
    assert [(p.name, p.type) for p in step.outputs] == [("auc", "float"), ("note", "str")]
    assert step.returns == {"Report": "namedtuple", "Data": "dataclass"}.get(annotation, "dict")
    assert graph.outputs == {"auc": Expr("output", "several", "auc")}


def test_a_named_tuple_can_be_unpacked(trace):
    graph = trace("""
        @fw.pipeline
        def main():
            auc, note = evaluate(1)
            return {"note": note}
        """)
    assert graph.outputs == {"note": Expr("output", "evaluate", "note")}


def test_lists_with_values_in_them(trace):
    graph = trace("""
        @fw.pipeline
        def main(n: int):
            return total([square(2), n, 3])
        """)
    assert node(graph, "total").inputs["xs"] == Expr(
        "list", args=(Expr("output", "square", "result"), Expr("param", "n"), Expr("const", value=3))
    )


def test_options_make_another_step(trace):
    graph = trace("""
        @fw.pipeline
        def main():
            a = square(1)
            b = square.options(cpu=2, cache=False)(2)
            c = square.options(cpu=2, cache=False)(3)
        """)
    assert [n.step for n in graph.nodes] == ["square", "square-2", "square-2"]
    assert graph.steps["square-2"].resources.cpu == 2 and not graph.steps["square-2"].cache


def test_files_flow_to_parameters(trace):
    graph = trace("""
        @fw.pipeline
        def main(path: str, paths: list[str], other: str = "x"):
            load(path)
            load(fw.each(paths))
            load(fw.each(["a.csv", "b.csv"]))
            load("fixed.csv")
            anything(other)
        """)
    assert [p.type for p in graph.params] == ["fairway.File", "list[fairway.File]", "str"]
    assert graph.axes["each"].sources[0].args[1] == Expr("artifact", "fairway.File", value="b.csv")
    assert node(graph, "load-4").inputs["path"] == Expr("const", value="fixed.csv")


def test_a_parameter_cannot_be_file_and_text(trace):
    with pytest.raises(DefinitionError, match="both as a file and as text"):
        trace("""
        @fw.step
        def label(text: str) -> str: ...

        @fw.pipeline
        def main(path: str):
            load(path)
            label(path)
        """)


def test_exit_handlers_get_the_runs_facts(trace):
    graph = trace("""
        @fw.step
        def tell(status: str, error, run: str, n: int, quiet: bool = True): ...

        @fw.pipeline(on_exit=tell, timeout="1h", max_parallel=4)
        def main(n: int = 2):
            square(n)
        """)
    handler = node(graph, "tell")
    assert handler.exit and not graph.steps["tell"].cache
    assert handler.inputs == {
        "status": Expr("run", "status"),
        "error": Expr("run", "error"),
        "run": Expr("run", "id"),
        "n": Expr("param", "n"),
    }
    assert (graph.timeout_s, graph.max_parallel) == (3600, 4)


def test_environments_of_pipelines_are_for_steps_without(trace):
    graph = trace("""
        @fw.step(env=fw.env(packages=["polars"], variables={"A": "1"}))
        def special(x: int) -> int: ...

        @fw.pipeline(env=fw.env(packages=["pandas==2.*"], python="3.12", variables={"A": "0", "B": 2}))
        def main():
            special(square(1))
        """)
    assert graph.steps["square"].environment.packages == ("pandas==2.*",)
    special = graph.steps["special"].environment
    assert (special.packages, special.python, special.variables) == (("polars",), "3.12", {"A": "1", "B": "2"})


def test_secrets_and_artifacts(trace):
    graph = trace("""
        @fw.step
        def fetch(data: fw.File, key: str) -> int: ...

        @fw.pipeline
        def main():
            fetch(fw.artifact("https://example.org/a.csv", digest="sha256:" + "ab" * 32), fw.secret("API_KEY"))
        """)
    assert node(graph, "fetch").inputs == {
        "data": Expr("artifact", "fairway.File", "ab" * 32, value="https://example.org/a.csv"),
        "key": Expr("secret", "API_KEY"),
    }


def test_commands_and_containers(trace):
    graph = trace("""
        fit = fw.command(
            ["Rscript", "scripts/fit.R", "--depth={param:depth}", fw.In("data"), fw.Out("model"), fw.In("rate", float, default=0.1)],
            exit_codes={3: "skip", 75: "retry"}, memory="1Gi",
        )
        score = fw.container("rocker/r-ver:4.4", ["Rscript", "score.R", fw.In("model"), "{out:table}"])

        @fw.pipeline
        def main(path: str):
            model = fit(data=path, depth=4)
            return score(model).table
        """)
    fit = graph.steps["fit"]
    assert fit.argv == ("Rscript", "scripts/fit.R", "--depth={param:depth}", "{in:data}", "{out:model}", "{param:rate}")
    assert [(p.name, p.type) for p in fit.inputs] == [("depth", ""), ("data", "fairway.File"), ("rate", "float")]
    assert fit.exit_codes == {"3": "skip", "75": "retry"} and fit.kind == "command"
    assert graph.steps["score"].image == "rocker/r-ver:4.4" and graph.steps["score"].kind == "container"
    assert graph.params[0].type == "fairway.File"


def test_a_dynamic_step_makes_a_graph_of_real_values(trace, write):
    from fairway.dsl.load import load_pipeline

    path = write("""
        import fairway as fw

        @fw.step
        def add(x: int, y: int) -> int: ...

        @fw.dynamic
        def fibonacci(n: int) -> int:
            if n < 2:
                return n
            return add(fibonacci(n - 1), fibonacci(n - 2))

        @fw.dynamic
        def keep(table: object) -> object:
            return add(table, 2)

        @fw.pipeline
        def main(n: int):
            return fibonacci(n)
        """)
    pipeline = load_pipeline(str(path))
    module = __import__(path.stem)
    assert pipeline.trace().steps["fibonacci"].kind == "dynamic"
    graph = module.fibonacci.expand({"n": 3})
    assert [n.id for n in graph.nodes] == ["fibonacci", "fibonacci-2", "add"]
    assert graph.outputs == {"result": Expr("output", "add", "result")}
    assert module.fibonacci.expand({"n": 1}).outputs == {"result": Expr("const", value=1)}

    from fairway.spec.artifact import ArtifactRef

    saved = []
    ref = ArtifactRef("ab" * 32, 5, "npy", "numpy.ndarray")
    graph = module.keep.expand({"table": {1, 2}}, lambda value: saved.append(value) or ref)
    assert saved == [{1, 2}] and graph.nodes[0].inputs["x"] == Expr("artifact", ref=ref)


def test_retry_policy(trace):
    graph = trace("""
        @fw.step(retry=fw.retry(5, backoff="250ms", factor=3, cap="5m", jitter=0.1, on=[ConnectionError, "oom", "exit:75"]))
        def flaky(x: int) -> int: ...

        @fw.pipeline
        def main():
            flaky(1)
        """)
    retry = graph.steps["flaky"].retry
    assert (retry.attempts, retry.backoff_s, retry.factor, retry.cap_s, retry.jitter) == (5, 0.25, 3, 300, 0.1)
    assert retry.kinds == ("ConnectionError", "oom", "exit:75")


def test_parameters_know_help_and_choices(trace):
    graph = trace('''
        from typing import Annotated, Literal
        from enum import Enum

        class Colour(Enum):
            RED = "red"
            BLUE = "blue"

        @fw.pipeline
        def main(kind: Literal["a", "b"] = "a", colour: Colour = Colour.RED, n: Annotated[int, "how many"] = 3, m: float = 1.0):
            """Do it.

            Args:
                kind: which one,
                    in two lines
                m (float): how much
            """
            anything([kind, colour, n, m])
        ''')
    kind, colour, n, m = graph.params
    assert (kind.type, kind.choices, kind.help) == ("str", ("a", "b"), "which one, in two lines")
    assert (colour.choices, colour.default) == (("red", "blue"), "red")
    assert (n.type, n.help, m.help) == ("int", "how many", "how much")
    assert graph.doc == "Do it."
