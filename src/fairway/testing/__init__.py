"""For those who write a journal, a store or an executor, and for tests of what uses them.

`fairway.testing.contracts` holds a suite for each port: subclass it in a pytest module, give the fixture, and every promise is checked.
`memory` and `scripted` are fakes that keep the same promises in memory; `faults` kills a caller before or after any port call.
"""
