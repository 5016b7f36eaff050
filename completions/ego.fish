# fish completion for ego, made by: ego generate fish

function __ego_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($before[1] __complete fish -- $before[2..-1] "$current" 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
        case words
            for line in $answer[2..-1]
                printf '%s\n' $line
            end
    end
end
complete -c ego -f -a '(__ego_complete)'
