/// Completion scripts. They ask the program itself what may stand at a place (its hidden command `__complete`), so that
/// commands, flags and values are always those of the program that is installed; without an answer they are silent.
extension CommandTable {
    /// The script for bash.
    public var bashScript: String {
        """
        # bash completion for \(program), made by: \(program) generate bash

        _\(program)() {
            local answer
            # The whole line up to the cursor: bash splits words at characters such as : and = that IDs may hold.
            mapfile -t answer < <("${COMP_WORDS[0]}" __complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
            COMPREPLY=()
            case "${answer[0]-}" in
                files) compopt -o default ;;
                words)
                    COMPREPLY=("${answer[@]:1}")
                    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
                    ;;
            esac
            return 0
        }
        complete -F _\(program) \(program)

        """
    }

    /// The script for zsh.
    public var zshScript: String {
        """
        #compdef \(program)
        # zsh completion for \(program), made by: \(program) generate zsh

        _\(program)() {
            local line word
            local -a answer values shown
            answer=("${(@f)$("${words[1]}" __complete zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
            case "${answer[1]}" in
                files)
                    compset -P '--*='
                    _files
                    ;;
                words)
                    compset -P '--*='
                    for line in "${(@)answer[2,-1]}"; do
                        word="${line%%$'\\t'*}"
                        values+=("$word")
                        if [[ "$line" == *$'\\t'?* ]]; then
                            shown+=("$word  -- ${line#*$'\\t'}")
                        else
                            shown+=("$word")
                        fi
                    done
                    (( ${#values} )) && compadd -l -d shown -a values
                    ;;
            esac
        }

        if [ "${funcstack[1]}" = "_\(program)" ]; then
            _\(program) "$@"
        else
            compdef _\(program) \(program)
        fi

        """
    }

    /// The script for fish.
    public var fishScript: String {
        """
        # fish completion for \(program), made by: \(program) generate fish

        function __\(program)_complete
            set -l before (commandline -opc)
            set -l current (commandline -ct)
            set -l answer ($before[1] __complete fish -- $before[2..-1] "$current" 2>/dev/null)
            switch "$answer[1]"
                case files
                    __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
                case words
                    for line in $answer[2..-1]
                        printf '%s\\n' $line
                    end
            end
        end
        complete -c \(program) -f -a '(__\(program)_complete)'

        """
    }
}
