// Runs a case of hindsight.trajectory through range_tracker, step by step: reads in_acc.mem, state0_range.mem and, for
// stochastic rounding, rbits_y.mem of +given; writes the codes, what was seen, the state after, and the quantizer of
// every step (mid_*) into +answers.
module tb_range_tracker;
    localparam SIZE = 1 << 17, STEPS = 1 << 10;  // elements and steps of the largest tensor

`include "bench.vh"

    integer steps, count, acc_bits, bits, fraction_bits, momentum, first, rounding, n;

    reg [31:0] acc_memory [0:SIZE-1], r_memory [0:SIZE-1], seen_memory [0:2*STEPS-1], multiplier_memory [0:STEPS-1];
    reg [47:0] state [0:1], range_memory [0:2*STEPS-1];
    reg [7:0]  y_memory [0:SIZE-1], shift_memory [0:STEPS-1], zero_point_memory [0:STEPS-1];

    reg set_range = 0, take_seen = 0, begin_step = 0, collect_only = 0, acc_valid = 0, end_step = 0;
    reg  signed [31:0] acc;
    reg         [31:0] r;
    wire               busy, code_valid;
    wire        [7:0]  code, zero_point;
    wire signed [31:0] seen_min, seen_max;
    wire signed [47:0] range_min, range_max;
    wire        [30:0] multiplier;
    wire        [5:0]  shift;

    range_tracker dut (
        .clk(clk), .reset(reset), .bits(bits[3:0]), .fraction_bits(fraction_bits[4:0]), .momentum(momentum[15:0]),
        .rounding(rounding[2:0]), .n(n[5:0]), .set_range(set_range), .new_min(state[0]), .new_max(state[1]),
        .take_seen(take_seen), .begin_step(begin_step), .busy(busy), .collect_only(collect_only),
        .acc_valid(acc_valid), .acc(acc), .r(r), .code_valid(code_valid), .code(code), .end_step(end_step),
        .seen_min(seen_min), .seen_max(seen_max), .range_min(range_min), .range_max(range_max),
        .multiplier(multiplier), .shift(shift), .zero_point(zero_point));

    integer answered = 0;
    always @(posedge clk) if (code_valid) begin
        y_memory[answered] <= code;
        answered <= answered + 1;
    end

    // all accumulators of a step, one a clock
    task stream(input integer step);
        integer i;
        for (i = step * count; i < (step + 1) * count; i = i + 1) begin
            acc_valid = 1;
            acc = $signed(acc_memory[i] << (32 - acc_bits)) >>> (32 - acc_bits);
            r = r_memory[i];
            @(negedge clk) acc_valid = 0;
        end
    endtask

    task run_step(input integer step);
        begin_step = 1;
        @(negedge clk) begin_step = 0;
        while (busy) @(negedge clk);
        range_memory[2*step]     = range_min;
        range_memory[2*step+1]   = range_max;
        multiplier_memory[step]  = {1'b0, multiplier};
        shift_memory[step]       = {2'd0, shift};
        zero_point_memory[step]  = zero_point;
        stream(step);
        seen_memory[2*step]      = seen_min;
        seen_memory[2*step+1]    = seen_max;
        while (answered < (step + 1) * count) @(negedge clk);
        end_step = 1;
        @(negedge clk) end_step = 0;
    endtask

    integer step, i, file;
    initial begin
        find_directories;
        steps         = plusarg("steps");
        count         = plusarg("count");
        acc_bits      = plusarg("acc_bits");
        bits          = plusarg("bits");
        fraction_bits = plusarg("fraction_bits");
        momentum      = plusarg("momentum");
        first         = plusarg("first");
        rounding      = plusarg("rounding");
        n             = plusarg("n");
        $readmemh({given, "/in_acc.mem"}, acc_memory, 0, steps * count - 1);
        $readmemh({given, "/state0_range.mem"}, state);
        if (n != 0) $readmemh({given, "/rbits_y.mem"}, r_memory, 0, steps * count - 1);
        @(negedge clk) reset = 0;
        if (first != 0) begin
            collect_only = 1;
            stream(0);
            collect_only = 0;
            take_seen = 1;
            @(negedge clk) take_seen = 0;
        end else begin
            set_range = 1;
            @(negedge clk) set_range = 0;
        end
        for (step = 0; step < steps; step = step + 1) run_step(step);

        file = opened("out_y");
        for (i = 0; i < steps * count; i = i + 1) put(file, 64'(y_memory[i]), bits);
        $fclose(file);
        file = opened("out_seen");
        for (i = 0; i < 2 * steps; i = i + 1) put(file, 64'(seen_memory[i]), acc_bits);
        $fclose(file);
        file = opened("state1_range");
        put(file, 64'(range_min), 48);
        put(file, 64'(range_max), 48);
        $fclose(file);
        file = opened("mid_range");
        for (i = 0; i < 2 * steps; i = i + 1) put(file, 64'(range_memory[i]), 48);
        $fclose(file);
        file = opened("mid_multiplier");
        for (i = 0; i < steps; i = i + 1) put(file, 64'(multiplier_memory[i]), 32);
        $fclose(file);
        file = opened("mid_shift");
        for (i = 0; i < steps; i = i + 1) put(file, 64'(shift_memory[i]), 8);
        $fclose(file);
        file = opened("mid_zero_point");
        for (i = 0; i < steps; i = i + 1) put(file, 64'(zero_point_memory[i]), bits);
        $fclose(file);
        $finish;
    end
endmodule
