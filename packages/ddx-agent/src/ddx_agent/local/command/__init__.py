"""The commands `ddx local` and `ddx intake`: what they take, what they do, what they print, their exit codes.

run       `ddx local`: plays the sample events or serves, and reports
options   its arguments, and the function and the extension that they choose
output    what it prints, for people and for programs
intake    `ddx intake`: the embedded intake by itself
forms     forms of arguments that both share
"""
