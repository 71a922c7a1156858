# SPDX-License-Identifier: MIT
# Completion of dsandbox for fish: the program itself knows what its words may become.

function __dsandbox_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            set -l current (commandline -ct)
            set -l before (string match -r '^--[^=]*=' -- $current)
            for file in (__fish_complete_path (string replace -r '^--[^=]*=' '' -- $current))
                echo $before$file
            end
        else
            echo $line
        end
    end
end

complete -c dsandbox -f -a '(__dsandbox_complete)'
