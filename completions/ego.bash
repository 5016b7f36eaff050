# bash completion for ego, made by: ego generate bash

_ego() {
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
complete -F _ego ego
