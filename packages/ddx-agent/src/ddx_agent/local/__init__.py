"""Lambda and Datadog on a laptop: the platform that runs functions, and the intake that takes what they send.

From the command to the report, each importing only what stands below it:

command           `ddx local` and `ddx intake`
wiring            a function, the platform, an extension and the intake put together: what `ddx local` and tests run
report            what is told at the end, and whether the accounts close
intake, web       Datadog's side: takes, decodes and keeps what arrives, answers as scripted; its page
platform          Lambda's side as its users see it: opened, invoked, shut down
sandbox           the course of a sandbox: its lives, and in each init, invocations, shutdown
apis              the Runtime, Extensions and Telemetry API that a function and its extensions talk to
telemetry         what the Telemetry API's subscribers get, and how
processes         the sandbox's processes, and what the kernel says of them
interpose         makes the extension's file appear to Python and Node.js where namespaces are refused
ports             the ports that functions send to, and who holds them
function_folder   reads a function from its folder
function          a function, and the events to play
invocation        one invocation: what was asked, what came of it
faults            what may go wrong on the platform's side, as data
quotas            AWS's numbers
refusal           how the rules of the APIs say no
groups            exception groups at the doors of the local servers
"""
