#compdef dsandbox
# SPDX-License-Identifier: MIT
# Completion of dsandbox for zsh: the program itself knows what its words may become.

_dsandbox() {
	local line files
	local -a names shown open_names open_shown
	for line in "${(@f)$(${words[1]} __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		if [[ $line == :files ]]; then
			files=1
		elif [[ ${line%%$'\t'*} == *[=:] ]]; then
			open_names+=("${line%%$'\t'*}")
			open_shown+=("${line/$'\t'/  }")
		elif [[ -n $line ]]; then
			names+=("${line%%$'\t'*}")
			shown+=("${line/$'\t'/  }")
		fi
	done
	(( $#names )) && compadd -l -d shown -a names
	(( $#open_names )) && compadd -l -S '' -d open_shown -a open_names
	if [[ -n $files ]]; then
		[[ $PREFIX == --*=* ]] && compset -P '*='
		_files
	fi
}

_dsandbox "$@"
