// What every bench has: the numbers of its case and two directories as plusargs, a clock, and answers as .mem files.
    string  given, answers;  // +given: in_*.mem, rbits_*.mem, state0_*.mem; +answers: where out_*.mem go
    integer number;
    reg     clk = 0, reset = 1;

    always #5 clk = !clk;

    function integer plusarg(input string name);
        if (!$value$plusargs({name, "=%d"}, number)) begin
            $display("+%0s=NUMBER is missing", name);
            $fatal;
        end
        plusarg = number;
    endfunction

    task find_directories;
        if (!$value$plusargs("given=%s", given) || !$value$plusargs("answers=%s", answers)) begin
            $display("+given=DIRECTORY or +answers=DIRECTORY is missing");
            $fatal;
        end
    endtask

    function integer opened(input string tensor);
        opened = $fopen({answers, "/", tensor, ".mem"}, "w");
    endfunction

    // a line of a .mem file: the lowest `bits` bits of a value, ceil(bits / 4) digits
    task put(input integer file, input [63:0] value, input integer bits);
        reg [63:0] pattern;
        integer digit;
        pattern = value << (64 - bits) >> (64 - bits);
        for (digit = (bits + 3) / 4 - 1; digit >= 0; digit = digit - 1) $fwrite(file, "%h", pattern[4*digit +: 4]);
        $fwrite(file, "\n");
    endtask
