# SPDX-License-Identifier: MIT
# Completion of dsandbox for bash: the program itself knows what its words may become.

_dsandbox() {
	local -a words=()
	local word glued='' tail line i files=''
	COMPREPLY=()
	# bash makes words of "=" and ":" and of what is around them; the program gets them as they are written.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ ${#words[@]} -gt 0 && ($glued || $word == [=:]*) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		case $word in *[=:]) glued=1 ;; *) glued='' ;; esac
	done
	tail=${words[-1]}
	word=${COMP_WORDS[COMP_CWORD]}
	[[ $word == [=:] ]] && word=''
	tail=${tail%"$word"} # bash puts a candidate behind this
	while IFS=$'\t' read -r line _; do
		if [[ $line == :files ]]; then
			files=1
		else
			COMPREPLY+=("${line#"$tail"}")
		fi
	done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
	if [[ $files ]]; then
		compopt -o filenames 2>/dev/null
		while IFS= read -r line; do
			COMPREPLY+=("$line")
		done < <(compgen -f -- "$word")
	fi
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
	return 0
}

complete -F _dsandbox dsandbox
