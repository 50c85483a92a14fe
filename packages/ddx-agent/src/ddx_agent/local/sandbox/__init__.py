"""The course of a sandbox: its lives one after the other, and in each of them init, invocations, freezes, shutdown.

sandbox             the queue of invocations, and the lives that they need: begun, timed out, ended
plan                what is the same in every life: function, extensions, the platform's times and faults
life                one life: the order of its steps, each of which waits for what processes do
programs            its extensions and its runtime: started, listened to, ended
init_course         one init: its times and outcome, and what is told of it
invocation_course   one invocation: its times and outcome, and what is told of it
invocation_log      what was printed during one invocation
exits               how its programs ended
"""
