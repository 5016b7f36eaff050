#ifndef EGO_CREADLINE_SHIM_H
#define EGO_CREADLINE_SHIM_H

#include <stdio.h>
#include <readline/readline.h>
#include <readline/history.h>

// Readline is set up through variables, which Swift would take for unprotected shared state.

static inline void ego_rl_set_name(void) { rl_readline_name = "ego"; }
static inline void ego_rl_leave_signals_alone(void) { rl_catch_signals = 0; rl_catch_sigwinch = 0; }
static inline void ego_rl_set_reader(rl_getc_func_t *function) { rl_getc_function = function; }
static inline void ego_rl_set_completer(rl_completion_func_t *function) { rl_attempted_completion_function = function; }
static inline void ego_rl_set_word_breaks(void) { rl_completer_word_break_characters = " \t\n\"'{}[],"; rl_basic_quote_characters = ""; }
static inline void ego_rl_set_append_character(int character) { rl_completion_append_character = character; }
static inline void ego_rl_set_completion_over(int over) { rl_attempted_completion_over = over; }
static inline const char *ego_rl_line(void) { return rl_line_buffer; }
static inline int ego_rl_point(void) { return rl_point; }
static inline void ego_rl_move_to_end(void) { rl_point = rl_end; }
static inline void ego_rl_prepare_terminal(void) { if (rl_prep_term_function) rl_prep_term_function(1); }
static inline void ego_rl_release_terminal(void) { if (rl_deprep_term_function) rl_deprep_term_function(); }

#endif
