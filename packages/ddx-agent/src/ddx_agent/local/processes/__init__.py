"""The processes of a sandbox, and what the kernel says of them.

environment   the variables that each kind of process is given (pure)
presence      the command line that makes the extension's file be there for a runtime (pure)
launcher      the program of that line: shows the file, then becomes the runtime (run by path)
child         one process: started, its output read as lines, its end awaited
lines         output into lines: by newlines, and by the frames of managed runtimes (pure)
supervisor    all processes of one life: started, watched for their memory, frozen, killed
members       which processes these are, daemons that went their own ways included; signals to all of them
procfs        the kernel's tables: who is whose child, how much memory
cpu_share     the CPU share of a memory size, by a cgroup
guard         tells the guardian which processes there are
guardian      outlives a platform that is killed, and ends its sandbox (run by path)
"""
